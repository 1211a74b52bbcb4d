"""Drawing the machine: as mermaid and as Graphviz's dot, with a run laid over it if wanted.

>>> from cano_sync import Workflow
>>> workflow = Workflow().register("START", lambda: "END").add_exit_state("END")
>>> print(to_mermaid(workflow).splitlines()[0])
flowchart TD
"""

from .dot import to_dot
from .mermaid import to_mermaid

__all__ = ("to_dot", "to_mermaid")
