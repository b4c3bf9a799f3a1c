import "@fontsource-variable/inter/wght.css";
import "../colors.css";
import "./design/ground.css";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { takeOverSession } from "../session";
import { applyTheme } from "../theme";
import { App } from "./App";

applyTheme();
await takeOverSession();

const root = document.querySelector("#root");
if (root) {
  createRoot(root).render(
    <StrictMode>
      <App />
    </StrictMode>,
  );
}
