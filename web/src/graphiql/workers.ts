import EditorWorker from "monaco-editor/esm/vs/editor/editor.worker.js?worker";
import JsonWorker from "monaco-editor/esm/vs/language/json/json.worker.js?worker";
import GraphQLWorker from "monaco-graphql/esm/graphql.worker.js?worker";

/** Monaco's workers, served by our own server. (GraphiQL's setup-workers/vite does the same, but logs to the console.) */
window.MonacoEnvironment = {
  getWorker(_id, language) {
    if (language === "json") return new JsonWorker();
    if (language === "graphql") return new GraphQLWorker();
    return new EditorWorker();
  },
};
