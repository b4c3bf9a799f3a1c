import type { CodegenConfig } from "@graphql-codegen/cli";

/** Types of the graph and of every document in src/dashboard, made from the committed schema: a document that
 *  asks for what the graph no longer has fails the build. */
const config: CodegenConfig = {
  schema: "../schema/schema.graphql",
  documents: "src/dashboard/**/*.graphql",
  generates: {
    "src/dashboard/graph/": {
      preset: "client",
      presetConfig: { fragmentMasking: false },
      config: {
        strictScalars: true,
        scalars: {
          ID: "string",
          DateTime: "string",
          JSONObject: "{ [key: string]: unknown }",
          UUID: "string",
        },
        enumType: "string-literal",
        useTypeImports: true,
        dedupeFragments: true,
      },
    },
  },
};

export default config;
