"""The tabs of the page: a file here, and one of the same name in `static/tabs`.

A file here has `routes(station)`: the addresses below `/api/` that its half in the browser asks. It reads the `Station`
and answers with `answers.answer` or `answers.picture`; what cannot be done is raised as one of the host's errors, and
`answers.refused` tells it. What changes anything is a POST whose body `answers.body` checks: the guard has looked at
its origin and length by then. Nothing of an address or a body becomes a path.

A file there exports an object: `name`, `show(root, page)`, which fills an element and returns what the page calls while
it is shown: `update(state)` with each new state, `key(event)` with each key, and `leave()`.
"""

from __future__ import annotations

from anomalib_lite.station.tabs import data, decide, inspect, operating, protocol, teach, trend

TABS = (inspect.routes, decide.routes, operating.routes, teach.routes, trend.routes, data.routes, protocol.routes)
