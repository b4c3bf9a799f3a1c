import { graphql } from "./graph";

const doc = graphql(`query Probe { apps(first: 1) { totalCount } }`);
document.querySelector("#root")!.textContent = String(doc);
