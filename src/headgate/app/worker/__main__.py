"""`python -m headgate.app.worker PIPE`: started by a gate, which says through the pipe what there is to do."""

import sys

from headgate.app.logs import configure
from headgate.app.worker.profiles import work_in_loop, work_in_main_thread
from headgate.runtime.groups.assignment import Assignment
from headgate.runtime.groups.process import end_with_parent, told_by


def main() -> None:
    """Work until the gate says stop, or is gone."""
    pipe = int(sys.argv[1])
    assignment = Assignment.read(told_by(pipe))
    end_with_parent(pipe)
    configure(level=assignment.duties.log_level, form="console")  # until there is a link
    sys.setswitchinterval(0.001)  # the thread that talks to the gate has little to do, and others wait for it
    if assignment.duties.is_async:
        work_in_loop(assignment)
    else:
        work_in_main_thread(assignment)


if __name__ == "__main__":
    main()
