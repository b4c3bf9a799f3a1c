import { execFile } from "node:child_process";
import { constants } from "node:zlib";
import react from "@vitejs/plugin-react";
import { defineConfig, type Plugin } from "vite";
import { compression, defineAlgorithm } from "vite-plugin-compression2";

// Addresses in the pages are relative to their <base>, which the server sets: so any path prefix works.
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
    target: "es2023",
    // The first browsers with light-dark(): what stands in for it in older ones does not know a theme that was chosen.
    cssTarget: ["chrome123", "firefox120", "safari17.5"],
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    chunkSizeWarningLimit: 5000,
    rollupOptions: {
      input: { dashboard: "index.html", graphiql: "graphiql.html" },
      // GraphiQL's modules carry directives for a compiler that has done its work.
      checks: { moduleLevelDirective: false, pluginTimings: false },
    },
  },
  worker: { format: "es" },
  // What GraphiQL's worker imports that is no module by itself: in workers Vite does not look for it.
  optimizeDeps: {
    include: ["graphql", "monaco-graphql > graphql-language-service", "monaco-graphql > picomatch-browser"],
  },
  server: {
    port: 5173,
    fs: { allow: [".", "../schema/tabs"] },
    proxy: {
      "^/graphql$": {
        target: process.env.LICENSEGRAPH_URL ?? "http://127.0.0.1:4000",
        bypass: pageOfBrowser,
      },
    },
  },
}));

/** In development Vite has the pages, and the running server answers only what is asked of the graph. */
function pageOfBrowser(request: { method?: string; headers: { accept?: string } }): string | undefined {
  return request.method === "GET" && request.headers.accept?.includes("text/html")
    ? "/graphiql.html"
    : undefined;
}

/** In development the types of the graph follow the documents as they are written. */
function generatedGraph(): Plugin {
  return {
    name: "generated-graph",
    apply: "serve",
    configureServer({ watcher, config }) {
      watcher.on("change", (file) => {
        if (!file.endsWith(".graphql")) return;
        // A process of its own: modules of this configuration are not the very ones that Node.js loads.
        execFile(process.execPath, ["generate.mjs"], { cwd: config.root }, (error, _, said) => {
          if (error) config.logger.error(said);
        });
      });
    },
  };
}

/** GraphiQL, so that who hears or tabs through it can use it as well.
 *
 * Its icons are named after the functions that draw them, which a build renames: screen readers read "t t icon". Its
 * tabs have buttons within, which is no tab by WAI-ARIA: they are a list of buttons. A GraphiQL that has changed there
 * fails the build.
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
