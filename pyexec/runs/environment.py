"""The environment of the zygotes and so of every script: nothing of the server's own. Pure.

Each child adds HOME and TMPDIR, its own directory.
"""

from __future__ import annotations

from pyexec.job import USER

# Libraries size their thread pools when they are imported, so these stand before: a process with threads must not fork
# (OpenBLAS issue 5520).
_POOLS = (
    "OPENBLAS_NUM_THREADS OMP_NUM_THREADS OMP_THREAD_LIMIT MKL_NUM_THREADS NUMEXPR_MAX_THREADS POLARS_MAX_THREADS"
    " RAYON_NUM_THREADS OPENCV_FOR_THREADS_NUM"
)


def zygote_environment() -> dict[str, str]:
    """Return the variables."""
    return dict(
        dict.fromkeys(_POOLS.split(), "1"),
        # glibc reserves 64 MiB of address space for each further arena of malloc, and would have one a thread.
        MALLOC_ARENA_MAX="1",
        USER=USER,
        LOGNAME=USER,
        JE_ARROW_MALLOC_CONF="background_thread:false",  # jemalloc's own thread, in pyarrow
        # joblib's processes and what watches over them need pipes and named semaphores. With this it works one by one,
        # as its manual says, so that `n_jobs=-1` of scikit-learn is no failure.
        JOBLIB_MULTIPROCESSING="0",
        MPLBACKEND="Agg",  # there is no screen
        PATH="/usr/local/bin:/usr/bin:/bin",
        LANG="C.UTF-8",
        TZ="UTC",
    )
