import type { CodegenConfig } from "@graphql-codegen/cli";

const config: CodegenConfig = {
  schema: "schema.graphql",
  documents: "src/**/*.graphql",
  generates: {
    "graph/": {
      preset: "client",
      presetConfig: { persistedDocuments: true },
    },
  },
};

export default config;
