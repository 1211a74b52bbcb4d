"""Simulation: workflows on the real engine, under chosen schedules and a clock that costs nothing.

**Who runs.** Everything that a simulation does is done by *actors*: real threads, of which only
the one that holds the *baton* runs (stage.py). It hands the baton over at *switch points* only: the
accesses to a store, the checks, sleeps and waits of a token, locks and queues made during the run,
and the start and end of a branch. Who goes on is a *decision*, which a strategy takes
(strategies.py): so the order of everything follows from a seed, and can be replayed.

**Time** stands still while anybody can go on, and jumps to the next moment that somebody waits for.

**The engine** is the real one. What it asks of the world around it (time, waits, threads, chance)
it asks `_base/world.py`, which a simulation stands in for (world.py). What *users'* code calls is
replaced for the actors, and put back (patches.py). No switch point lies within one of the engine's
own locks: so none of them is ever contended, and none has to be replaced.

**What is found** by the checks that are always on (watching.py), or by a test's own assertions, is
shrunk and written as a story (story.py).
"""
