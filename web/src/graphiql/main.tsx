import "@fontsource-variable/inter/wght.css";
import "@graphiql/react/style.css";
import "@graphiql/plugin-doc-explorer/style.css";
import "@graphiql/plugin-history/style.css";
import "@graphiql/plugin-explorer/style.css";
import "graphiql/graphiql.css";
import "../colors.css";
import "./graphiql.css";
import "./workers";
import { createRoot } from "react-dom/client";
import { applyTheme } from "../theme";
import { Page } from "./Page";

applyTheme();
createRoot(document.querySelector("#root") as HTMLElement).render(<Page />);
