"""localstripe, without two of its habits: it listens on this machine only, and it remembers nothing when it ends, rather than
in a file of /tmp that all that run share."""

import argparse

from aiohttp import web

from localstripe import resources, server

parser = argparse.ArgumentParser()
parser.add_argument("port", type=int)
port = parser.parse_args().port

resources.Store.dump_to_disk = lambda store: None
web.run_app(server.app, host="127.0.0.1", port=port)
