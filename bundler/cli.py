"""The program: does what the words say, turns an error into a sentence and an exit code."""

from __future__ import annotations

import gc
import os
import signal
import sys

TYPE_CHECKING = False  # as in typing, whose import a short command can do without
if TYPE_CHECKING:
    from types import FrameType

    from bundler.terminal import Ui

INTERRUPTED = 130
OUR_OWN_FAULT = 70
REPORT_IT = "Set BUNDLE_TRACEBACK=1 to see where, and report it."


def main() -> None:
    """Run the program with the words of the command line."""
    # A command's objects live until it ends: looking for garbage among those of a hundred thousand
    # tests takes a fifth of a replay.
    gc.disable()
    _notice_interrupts()
    _fill_closed_streams()
    try:
        code = run(sys.argv[1:])
        _let_interrupts_go()
    except KeyboardInterrupt:  # before there was anything that could answer, or after
        code = INTERRUPTED
        _let_interrupts_go()
    sys.exit(code)


_interrupts: list[int] = []


def _notice_interrupts() -> None:
    """Remember Ctrl-C: a library that is hit by it may raise an error of its own in its place."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _interrupted)
        sys.unraisablehook = _interrupt_again


def _interrupted(number: int, frame: FrameType | None) -> None:
    _interrupts.append(number)
    if sys.platform != "win32" and _is_importing(frame):
        _interrupt_a_moment_later()  # msgspec crashes where it is hit while it makes a type
    else:
        raise KeyboardInterrupt


def _is_importing(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename == "<frozen importlib._bootstrap>":
            return True
        frame = frame.f_back
    return False


def _interrupt_again(told: sys.UnraisableHookArgs) -> None:
    """Interrupt once more, a moment later, where Ctrl-C hit what cannot raise: an object's end."""
    if not issubclass(told.exc_type, KeyboardInterrupt):
        sys.__unraisablehook__(told)
    else:
        _interrupt_a_moment_later()


def _interrupt_a_moment_later() -> None:
    if sys.platform != "win32":
        signal.signal(signal.SIGALRM, _interrupted)
        signal.setitimer(signal.ITIMER_REAL, 0.001)


def _let_interrupts_go() -> None:
    """Have Ctrl-C end the interpreter on its way out: nobody minds an alarm there any more."""
    if signal.getsignal(signal.SIGINT) is _interrupted:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    if _interrupts and sys.platform != "win32":
        signal.setitimer(signal.ITIMER_REAL, 0)


def _fill_closed_streams() -> None:
    """Put the null device where a standard stream was closed: a log must not get its number."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)


def run(words: list[str]) -> int:
    """Run the program and return its exit code."""
    from bundler.terminal import Ui

    ui = Ui.from_environment(os.environ, sys.stdin, sys.stdout, sys.stderr)
    try:
        code = _command(words, ui)
        ui.close()
        return code
    except KeyboardInterrupt:
        ui.abandon_stdout()
        return INTERRUPTED
    except Exception as error:
        if _interrupts:
            ui.abandon_stdout()
            return INTERRUPTED
        return _tell(error, ui)


def _tell(error: Exception, ui: Ui) -> int:
    """Say what went wrong in one sentence, and return the exit code for it."""
    from bundler.errors import BundleError, OutputError, own_fault

    if isinstance(error, BundleError):
        ui.error(error.message, error.hint)
        return error.exit_code
    if os.environ.get("BUNDLE_TRACEBACK") and not isinstance(error, OSError):
        raise error
    ui.abandon_stdout()
    if isinstance(error, OSError):
        ui.error(_refusal(error))
        return OutputError.exit_code
    ui.error(own_fault(error), REPORT_IT)
    return OUR_OWN_FAULT


def _command(words: list[str], ui: Ui) -> int:
    if words == ["list"]:  # what people ask most, and no options to take apart
        from bundler.listing import show_runs

        return show_runs(ui)
    from bundler.words import obey

    return obey(words, ui)


def _refusal(error: OSError) -> str:
    """Say what the system refused, of which nobody closer to it could say more."""
    why = error.strerror or str(error) or type(error).__name__
    return f"{error.filename} is refused: {why}" if error.filename else f"the system refuses: {why}"
