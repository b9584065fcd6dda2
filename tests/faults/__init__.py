"""Every fault of the sandbox, at every stage of a call, on every route: what becomes of the call is a table.

`faults.py` lists the faults of each stage, `cases.py` the routes and the cases (a stage, a route, a fault), and
`outcomes.py` what is expected of each case. `document.py` renders the table for docs/reliability.md.

Each case is checked in two halves, and so costs milliseconds:

* `adapters.py` lets the real adapter, and for images the real download, talk to a sandbox where the fault strikes, and
  records what comes of it: the script of a case.
* `engine.py` plays a script to the real engine on a real database. Equal scripts are played once.

`end_to_end.py` names the cases that run as a whole as well. `striking.py` makes a sandbox go wrong, and `observing.py`
makes the call and judges it, for the halves and for the whole.

A new fault: a row in `faults.py` and its outcome in `outcomes.py`; if its kind is new, a case in `end_to_end.py` too.
A new provider: a route in `cases.py` and three cases in `end_to_end.py`; where it differs, an exception in
`outcomes.py`. Then `make fix` renders the document anew.
"""
