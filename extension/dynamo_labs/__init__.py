"""JupyterLab extension of Dynamo Labs and its server side: an authenticated way to the backend."""

from .proxy_handler import BackendProxyHandler

__version__ = "0.1.0"


def _jupyter_labextension_paths():
    return [{"src": "labextension", "dest": "@dynamo-labs/extension"}]


def _jupyter_server_extension_points():
    return [{"module": "dynamo_labs"}]


def _load_jupyter_server_extension(server_app):
    base_url = server_app.web_app.settings["base_url"].rstrip("/")
    server_app.web_app.add_handlers(".*$", [(base_url + r"/dynamo-labs/api/.*", BackendProxyHandler)])
    server_app.log.info("Dynamo Labs: backend reached at %s/dynamo-labs/api/", base_url)
