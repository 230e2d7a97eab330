"""MLflow's pages as `make ui` serves them: MLflow's own server, whose first page carries a script of ours.

MLflow shows pages for language models unless the browser remembers another choice, and nothing that is
recorded makes that choice: the script does, once. The package's entry point `mlflow.app` names `create_app`.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from vaebench.tracking.views import CURVES

if TYPE_CHECKING:
    from fastapi import FastAPI

# The keys are those of MLflow 3.17. A choice that the user has made since then stays.
SCRIPT = f"""\
for (const [key, value] of Object.entries({{
  "mlflow.workflowType_v1": '"machine_learning"',
  "mlflow.assistant.fab.autoOpenedOnFirstLoad_v1": "true", // else it opens itself, and asks for a network
}})) if (localStorage.getItem(key) === null) localStorage.setItem(key, value);
// Under Views a view opens as a list, with the charts of the page before it: that of the curves has its own.
const push = history.pushState;
history.pushState = (state, title, url) => {{
  const curves = String(url).endsWith("?viewStateShareKey={CURVES}");
  push.call(history, state, title, curves ? `${{url}}&compareRunsMode=CHART` : url);
  if (curves) location.reload();
}};
"""


def create_app() -> "FastAPI":
    """Return MLflow's server; what it lets in is for its own checks, which come before any page."""
    import mlflow.server
    from fastapi.responses import HTMLResponse
    from mlflow.server import fastapi_app
    from starlette.routing import Route

    markup = Path(mlflow.server.__file__).with_name("js").joinpath("build/index.html").read_text("utf-8")
    page = markup.replace("<head>", f"<head><script>{SCRIPT}</script>", 1)

    async def first_page(_request: object) -> HTMLResponse:
        return HTMLResponse(page, headers={"Cache-Control": "no-cache"})

    app: FastAPI = fastapi_app.app
    app.router.routes.insert(0, Route("/", first_page))
    return app
