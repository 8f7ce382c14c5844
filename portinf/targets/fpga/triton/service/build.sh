#!/bin/sh
# Synthesises the hls4ml project with the vendor's tools (Vitis HLS). Not run here: portinf has no such tools.
# Usage: sh build.sh FOLDER    the project is copied into the new FOLDER and built there; this folder stays as it is.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
if [ $# -ne 1 ] || [ -e "$1" ]; then
    echo "usage: sh build.sh FOLDER    (a folder that does not exist yet)" >&2
    exit 2
fi
if command -v vitis-run >/dev/null; then
    tool="vitis-run --mode hls --tcl"
elif command -v vitis_hls >/dev/null; then
    tool="vitis_hls -f"
else
    echo "build.sh: neither vitis-run nor vitis_hls is on PATH: source the settings64.sh of the vendor's tools" >&2
    exit 3
fi
cp -r "$here/project" "$1"
cd "$1"
cat >build_opt.tcl <<'TCL'
array set opt {
    reset      1
    csim       0
    synth      1
    cosim      0
    validation 0
    export     1
    vsynth     0
    fifo_opt   0
}
TCL
exec $tool build_prj.tcl
