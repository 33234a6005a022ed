"""All rows of the fault matrix."""
import rows_coordinator  # noqa: F401
import rows_worker  # noqa: F401
