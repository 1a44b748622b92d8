"""One recorded forward pass: every operator with its module, the data flow between them, and the memory in use."""

from archaudit.measure.tape.recording import Tape, TapeEntry, TapeMode, TapeRecorder, record_tape

__all__ = ["Tape", "TapeEntry", "TapeMode", "TapeRecorder", "record_tape"]
