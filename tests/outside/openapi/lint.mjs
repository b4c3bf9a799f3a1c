// node lint.mjs FILE: prints the problems that Redocly and Spectral find in an OpenAPI document with their recommended
// rules.
import { readFileSync } from "node:fs";
import { createConfig, lint } from "@redocly/openapi-core";
import spectralCore from "@stoplight/spectral-core";
import rulesets from "@stoplight/spectral-rulesets";

const [file] = process.argv.slice(2);

// These rules do not fit the document. Everyone runs their own server, so the document has no contact and no license.
// The response for status 405 is in no operation, because it is for methods that a path does not have. Two operations
// have no 4xx response, because no request for them is refused.
const redocly = await createConfig({
  extends: ["recommended"],
  rules: { "info-license": "off", "no-unused-components": "off", "operation-4xx-response": "off" },
});
const found = await lint({ ref: file, config: redocly });

const spectral = new spectralCore.Spectral();
spectral.setRuleset({
  extends: [[rulesets.oas, "recommended"]],
  rules: { "info-contact": "off", "oas3-unused-component": "off" },
});
const alsoFound = await spectral.run(JSON.parse(readFileSync(file, "utf8")));

console.log(
  JSON.stringify([
    ...found.map((each) => `redocly ${each.ruleId}: ${each.message} (${each.location[0]?.pointer})`),
    ...alsoFound.map((each) => `spectral ${each.code}: ${each.message} (${each.path.join("/")})`),
  ]),
);
