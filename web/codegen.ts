import type { CodegenConfig } from "@graphql-codegen/cli";

/** Types of the graph and of every document in src/, made from the committed schema: what it no longer has is an error here. */
const config: CodegenConfig = {
  schema: "../schema/schema.graphql",
  documents: "src/dashboard/**/*.{ts,tsx}",
  generates: {
    "src/dashboard/graph/": {
      preset: "client",
      presetConfig: { fragmentMasking: false },
      config: {
        strictScalars: true,
        scalars: {
          DateTime: "string",
          JSONObject: "{ [key: string]: unknown }",
          UUID: "string",
        },
        enumType: "string-literal",
        enumsAsTypes: true,
        useTypeImports: true,
        dedupeFragments: true,
      },
    },
  },
};

export default config;
