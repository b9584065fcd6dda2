"""Every fault of the sandbox, at every stage of a call, on every route, with the expected outcome as a table.

`faults.py` lists the faults of each stage, `cases.py` the routes and the cases (a stage, a route, a fault), and
`outcomes.py` the expected outcome of each case. `document.py` renders the table for docs/reliability.md.

Each case is checked in two halves, which takes milliseconds:

* `adapters.py` runs the real adapter, and for images the real download, against a sandbox with the fault, and records
  the results: the script of a case.
* `engine.py` plays a script to the real engine on a real database. Identical scripts are played once.

`end_to_end.py` names the cases that also run as a whole. `injecting.py` injects the faults into a sandbox, and
`observing.py` makes the call and evaluates it, for the halves and for the whole.

A new fault: a row in `faults.py` and its outcome in `outcomes.py`; if its kind is new, a case in `end_to_end.py` too.
A new provider: a route in `cases.py` and three cases in `end_to_end.py`; where it differs, an exception in
`outcomes.py`. Then `make fix` renders the document anew.
"""
