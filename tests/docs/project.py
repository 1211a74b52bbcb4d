"""A page that is a Django project, in a process and a folder of its own.

    python -m tests.docs.project PAGE

Blocks with a caption are its files; the others run one after the other once Django is set up by the
settings among them, and its tables are there. Then the tests that the page shows are run.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import django
from django import conf
from django.core.management import call_command
from django.test.utils import get_runner

from tests.docs import pages
from tests.docs.test_code import a_module, is_ours, run, write_if_named


def main(page: str) -> int:
    """Run it; how many of its tests have failed."""
    folder = Path.cwd()
    blocks = list(filter(is_ours, pages.blocks_of(pages.ROOT / page)))
    plain = [block for block in blocks if not write_if_named(block, folder)]
    for inner in filter(Path.is_dir, folder.iterdir()):  # as `manage.py startapp` does
        (inner / "__init__.py").touch()
    sys.path.insert(0, str(folder))
    os.environ["DJANGO_SETTINGS_MODULE"] = "settings"
    django.setup()
    call_command("migrate", run_syncdb=True, verbosity=0)
    namespace = a_module()
    for block in plain:
        run(block, namespace)
    runner = get_runner(conf.settings)(interactive=False, verbosity=0)
    assert runner.build_suite().countTestCases()
    return int(runner.run_tests([]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
