#!/bin/sh
# Run a job on this machine: deploy/local/run.sh JOB [options of blpdask run]
#
# Uses the environment in $BLPDASK_VENV, by default .venv beside the package, or else
# the blpdask on the path.
set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")/../.." && pwd)
program="${BLPDASK_VENV:-$root/.venv}/bin/blpdask"
if [ ! -x "$program" ]; then
    program=$(command -v blpdask) || {
        echo "No blpdask in $root/.venv or on the path: see deploy/local/README.md." >&2
        exit 2
    }
fi

# Blocks of markets are the unit of parallelism; libraries keep to one thread.
export OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1

exec "$program" run "$@"
