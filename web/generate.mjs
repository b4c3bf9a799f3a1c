/** Generates TypeScript types for the GraphQL schema and for every document of the dashboard, from the committed schema.
 *  A document that uses a removed field fails the build. `node generate.mjs` writes the types to src/dashboard/graph/. */

import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { codegen } from "@graphql-codegen/core";
import * as documentsPlugin from "@graphql-codegen/typed-document-node";
import * as operationsPlugin from "@graphql-codegen/typescript-operations";
import { buildASTSchema, parse, Source } from "graphql";

const HERE = fileURLToPath(new URL(".", import.meta.url));
const SCHEMA = join(HERE, "../schema/schema.graphql");
const DOCUMENTS = join(HERE, "src/dashboard");
const FOLDER = join(DOCUMENTS, "graph");

async function generate() {
  const schema = await parsed(SCHEMA);
  const files = (await readdir(DOCUMENTS, { recursive: true })).filter((file) => file.endsWith(".graphql"));
  const documents = await Promise.all(
    files.sort().map(async (file) => ({ location: file, document: await parsed(join(DOCUMENTS, file)) })),
  );
  const text = await codegen({
    filename: join(FOLDER, "graphql.ts"),
    schema,
    schemaAst: buildASTSchema(schema),
    documents,
    config: {
      strictScalars: true,
      scalars: { ID: "string", Date: "string", DateTime: "string", JSONObject: "{ [key: string]: unknown }", UUID: "string" },
      enumType: "string-literal",
      useTypeImports: true,
      dedupeFragments: true,
    },
    plugins: [{ operations: {} }, { documents: {} }],
    pluginMap: { operations: operationsPlugin, documents: documentsPlugin },
  });
  await mkdir(FOLDER, { recursive: true });
  await writeFile(join(FOLDER, "graphql.ts"), text);
}

async function parsed(file) {
  return parse(new Source(await readFile(file, "utf8"), file));
}

await generate();
