import { execFile } from "node:child_process";
import { constants } from "node:zlib";
import react from "@vitejs/plugin-react";
import { defineConfig, type Plugin } from "vite";
import { compression, defineAlgorithm } from "vite-plugin-compression2";

/** The server that handles API requests in development. */
const SERVER = process.env.LICENSEGRAPH_URL ?? "http://127.0.0.1:4000";

// URLs in the pages are relative to their <base>, which the server sets, so any path prefix works.
export default defineConfig(({ command }) => ({
  base: command === "build" ? "./" : "/",
  plugins: [
    react(),
    accessibleGraphiQL(),
    generatedGraph(),
    compression({
      include: /\.(js|css|svg|ttf|json|map)$/,
      algorithms: [
        defineAlgorithm("gzip", { level: 9 }),
        defineAlgorithm("brotliCompress", { params: { [constants.BROTLI_PARAM_QUALITY]: 11 } }),
      ],
    }),
  ],
  build: {
    outDir: "dist/.new", // publish.mjs moves it to dist when it is complete
    target: "es2023",
    // The first browser versions with light-dark(). For older versions, the build would add a fallback that ignores the
    // theme that the user chose.
    cssTarget: ["chrome123", "firefox120", "safari17.5"],
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    chunkSizeWarningLimit: 5000,
    rollupOptions: {
      input: { dashboard: "index.html", graphiql: "graphiql.html", docs: "docs.html" },
      // GraphiQL's modules still contain compiler directives, which have no effect here.
      checks: { moduleLevelDirective: false, pluginTimings: false },
    },
  },
  worker: { format: "es" },
  // CommonJS packages that GraphiQL's worker imports. Vite does not detect them in workers.
  optimizeDeps: {
    include: ["graphql", "monaco-graphql > graphql-language-service", "monaco-graphql > picomatch-browser"],
  },
  server: {
    port: 5173,
    fs: { allow: [".", "../schema/tabs"] },
    proxy: {
      "^/graphql$": { target: SERVER, bypass: pageOfBrowser },
      "^/api/": {
        target: SERVER,
        bypass: ({ url }) => (/^\/api\/docs\/?$/.test(url ?? "") ? "/docs.html" : undefined),
      },
    },
  },
}));

/** Returns the page for a request to /graphql from a browser that wants HTML. Other requests to /graphql are for the
 *  API, and go to the running server. */
function pageOfBrowser(request: { method?: string; headers: { accept?: string } }): string | undefined {
  return request.method === "GET" && request.headers.accept?.includes("text/html")
    ? "/graphiql.html"
    : undefined;
}

/** In development, generates the types again when a document changes. */
function generatedGraph(): Plugin {
  return {
    name: "generated-graph",
    apply: "serve",
    configureServer({ watcher, config }) {
      watcher.on("change", (file) => {
        if (!file.endsWith(".graphql")) return;
        // Runs in its own process, because Vite bundles the imports of this configuration.
        execFile(process.execPath, ["generate.mjs"], { cwd: config.root }, (error, _, said) => {
          if (error) config.logger.error(said);
        });
      });
    },
  };
}

/** Makes GraphiQL accessible by keyboard and screen reader.
 *
 * Icons take their labels from the names of the functions that draw them. A build renames these functions, so screen
 * readers would say "t t icon". Tabs contain buttons, which WAI-ARIA does not allow, so they become a list of buttons.
 * If a new version of GraphiQL differs in these places, the build fails.
 */
function accessibleGraphiQL(): Plugin {
  const changes: Record<string, [RegExp, string][]> = {
    "icons/index.js": [
      [/generateIcon\((Svg\w+)\)/g, 'generateIcon(Object.defineProperty($1, "name", { value: "$1" }))'],
    ],
    "components/tabs/index.js": [
      [/"aria-selected": isActive,/g, '"aria-current": isActive,'],
      [/role: "tab(list)?",/g, ""],
    ],
  };
  return {
    name: "accessible-graphiql",
    transform: {
      filter: { id: /@graphiql\/react\/dist\/(icons|components\/tabs)\/index\.js$/ },
      handler(code, id) {
        const [, ofThis] = Object.entries(changes).find(([file]) => id.endsWith(file)) ?? [];
        return ofThis?.reduce((before, [pattern, replacement]) => {
          const after = before.replaceAll(pattern, replacement);
          if (after === before) this.error(`GraphiQL has changed: there is no ${pattern} in ${id}`);
          return after;
        }, code);
      },
    },
  };
}
