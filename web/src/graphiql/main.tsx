document.querySelector("#root")!.textContent = "GraphiQL";
