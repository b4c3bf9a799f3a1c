// node urql_texts.mjs FILE…: prints the texts that urql sends for these documents, by their hashes.
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { createRequest, formatDocument, stringifyDocument } from "@urql/core";

const texts = process.argv
  .slice(2)
  .map((file) => stringifyDocument(formatDocument(createRequest(readFileSync(file, "utf8")).query)));
const hash = (text) => createHash("sha256").update(text).digest("hex");
console.log(JSON.stringify(Object.fromEntries(texts.map((text) => [hash(text), text])), null, 2));
