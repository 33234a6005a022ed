"""Millrace for Python: a process that offers functions as executors. See README.md and docs/sdk.md."""
from .secret import SecretError
from .tasks import Cancelled, Task
from .worker import VERSION, ConfigurationError, Refused, Unreachable, Worker

__version__ = VERSION
__all__ = ["Cancelled", "ConfigurationError", "Refused", "SecretError", "Task", "Unreachable", "Worker"]
