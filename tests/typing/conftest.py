"""The files that are only checked: pytest must not import them, not even for doctests."""

collect_ignore = ["workflow.py", "mistakes.py", "gaps.py"]
