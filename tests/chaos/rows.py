"""All rows of the fault matrix."""
import rows_coordinator  # noqa: F401
import rows_edges  # noqa: F401
import rows_failover  # noqa: F401
import rows_network  # noqa: F401
import rows_store  # noqa: F401
import rows_worker  # noqa: F401
