import "@fontsource-variable/inter/wght.css";
import "swagger-ui-dist/swagger-ui.css";
import "../colors.css";
import "./docs.css";
import SwaggerUI from "swagger-ui-dist/swagger-ui-es-bundle.js";
import { joinSession, readKey, takeOverSession } from "../session";
import { applyTheme, onThemeChange, shownTheme } from "../theme";

const root = document.querySelector("#root") as HTMLElement;

function applyDarkMode(): void {
  document.documentElement.classList.toggle("dark-mode", shownTheme() === "dark");
}

async function show(): Promise<void> {
  await takeOverSession();
  // Swagger UI keeps a copy of the key. Reload the page if the key of another tab arrives late, or if another tab
  // signs out.
  joinSession({ keyToShare: readKey, onChange: () => location.reload() });
  const response = await fetch("api/openapi.json");
  if (!response.ok) throw new Error(`status ${response.status}`);
  // Send requests to the URL that this page was loaded from. A proxy may serve the page under a path that the server
  // does not know.
  const server = new URL(".", document.baseURI).href.replace(/\/$/, "");
  const spec = { ...(await response.json()), servers: [{ url: server }] };
  const ui = SwaggerUI({
    domNode: root,
    spec,
    validatorUrl: null,
    defaultModelsExpandDepth: 0,
    onComplete: () => {
      const key = readKey();
      if (key !== null) ui.preauthorizeApiKey("key", key);
    },
  });
}

applyTheme();
applyDarkMode();
onThemeChange(applyDarkMode);
show().catch((error: Error) => {
  root.textContent = `The OpenAPI document could not be loaded: ${error.message}`;
});
