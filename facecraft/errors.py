"""The error tree. Every mistake of a user or of a user's file is a FacecraftError.

FacecraftError
├── InputError        a file given by the user cannot be used
├── WorkspaceError    a workspace is missing, locked, from a newer version, or lacks a stage
└── DependencyError   a package, device or weight that is needed is not there

The message is one line: the subject with its value; then the remedy. Lower-case start.
"""


class FacecraftError(Exception):
    """A problem that the user can mend; the command line shows it as one line and exits 1."""


class InputError(FacecraftError):
    """A file or value given by the user cannot be used."""


class WorkspaceError(FacecraftError):
    """A workspace is missing, in use, from a newer version, or lacks the output of a stage."""


class DependencyError(FacecraftError):
    """A package, device or weight that is needed is not there."""
