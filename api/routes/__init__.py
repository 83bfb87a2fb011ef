"""The routes, one file for each kind of thing that is asked for."""

from api.routes import paths

paths.register()
