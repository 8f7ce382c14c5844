#!/usr/bin/env bash
# Builds and checks a TensorRT engine from model.onnx, on the machine and in the container that will serve it.
# Written by portinf; needs bash, coreutils, python3 (standard library only), nvidia-smi and trtexec.
# Exit codes: 0 built, or up to date; 2 wrong call, or a file of this folder was changed; 3 trtexec or python3 is missing;
# 4 no GPU; 5 the engine's answers differ from the recorded ones; 6 the build failed, or another is at work; 7 TensorRT of another version; 130 interrupted.
set -euo pipefail
export LC_ALL=C

usage="usage: build_engine.sh [--trtexec PATH] [--device N] [--rebuild] [--tf32] [--accept-version]
  --trtexec PATH     default: \$TRTEXEC, PATH, /usr/src/tensorrt/bin, /opt/tensorrt/bin, /workspace/tensorrt/bin
  --device N         GPU to build on (default 0)
  --rebuild          build although nothing changed
  --tf32             allow TF32 in float32 layers (faster; about three digits)
  --accept-version   build with another major version of TensorRT than the folder was written for"

fail() { # exit code, message
    printf 'build_engine: error: %s\n' "$2" >&2
    exit "$1"
}
say() { printf 'build_engine: %s\n' "$1" >&2; }

trtexec=${TRTEXEC:-} device=0 rebuild=0 tf32=0 accept=0
while [ $# -gt 0 ]; do
    case $1 in
    --trtexec | --device)
        [ $# -ge 2 ] || fail 2 "$1 needs a value"
        if [ "$1" = --device ]; then device=$2; else trtexec=$2; fi
        shift
        ;;
    --rebuild) rebuild=1 ;;
    --tf32) tf32=1 ;;
    --accept-version) accept=1 ;;
    -h | --help)
        printf '%s\n' "$usage"
        exit 0
        ;;
    *) fail 2 "unknown option '$1'; see build_engine.sh --help" ;;
    esac
    shift
done
[[ $device =~ ^[0-9]+$ ]] || fail 2 "--device $device: expected the number of a GPU"
case $trtexec in
*/*) trtexec=$(cd -- "$(dirname -- "$trtexec")" 2>/dev/null && pwd)/${trtexec##*/} ;;
esac

cd -- "$(dirname -- "${BASH_SOURCE[0]}")"
# shellcheck source=/dev/null
. ./settings.sh
place=repository/$MODEL_NAME/1
log=build.log

# 1. The tools and their versions.
command -v python3 >/dev/null || fail 3 "no python3 on PATH: run this in a Triton image whose tag ends in -py3"
if [ -z "$trtexec" ]; then
    trtexec=$(command -v trtexec || true)
    for folder in /usr/src/tensorrt/bin /opt/tensorrt/bin /workspace/tensorrt/bin; do
        if [ -z "$trtexec" ] && [ -x "$folder/trtexec" ]; then trtexec=$folder/trtexec; fi
    done
fi
[ -n "$trtexec" ] || fail 3 "no trtexec on PATH or in /usr/src/tensorrt/bin: run this in the Triton image that will serve the \
model, in the TensorRT image of the same month (nvcr.io/nvidia/tensorrt:YY.MM-py3), or name it with --trtexec"
command -v "$trtexec" >/dev/null || fail 3 "$trtexec: not there, or not executable"
sha256sum --check --quiet --strict files.sha256 >/dev/null 2>&1 ||
    fail 2 "a file of this folder was changed or is missing: $(sha256sum --check --quiet files.sha256 2>&1 | head -n 1); write the folder again"

exec 9>.lock # held while this runs, and by nothing that it starts; in a container the process number says nothing
if command -v flock >/dev/null && ! flock -n 9; then fail 6 "another build_engine.sh is at work in $PWD"; fi
work=.build-$$
rm -rf -- .build-* # of runs that were killed
child=
cleanup() {
    if [ -n "$child" ]; then kill "$child" 2>/dev/null || true; fi
    rm -rf -- "$work"
}
trap cleanup EXIT
trap 'exit 130' INT TERM HUP
mkdir "$work"
run() { # a program in the background, so that an interruption is answered at once; its output goes to the log
    printf '+ %s\n' "$*" >>"$log"
    "$@" >>"$log" 2>&1 9>&- &
    child=$!
    local code=0
    wait "$child" || code=$?
    child=
    return "$code"
}

"$trtexec" --help >"$work/help" 2>&1 || fail 3 "$trtexec --help fails: $(grep -v '^$' "$work/help" | head -n 1)"
banner=$(sed -n 's/.*\[TensorRT v\([0-9]*\)\].*/\1/p' "$work/help" | head -n 1)
[ -n "$banner" ] || fail 3 "$trtexec does not say its version ('[TensorRT v...]'): is it NVIDIA's trtexec?"
if [ "$banner" -ge 10000 ]; then # 100300 is 10.3.0; before 10, 8601 is 8.6.1
    major=$((banner / 10000)) minor=$((banner / 100 % 100)) patch=$((banner % 100))
else
    major=$((banner / 1000)) minor=$((banner / 100 % 10)) patch=$((banner % 100))
fi
version=$major.$minor.$patch
if [ "$major" != "${CHOSEN%%.*}" ]; then
    [ "$accept" = 1 ] || fail 7 "this is TensorRT $version, and the folder was made for $CHOSEN: write it again with \
'portinf optimize --target tensorrt --tensorrt $major.$minor', or build anyway with --accept-version"
    say "note: made for TensorRT $CHOSEN, built with $version, as --accept-version says"
elif [ "$major.$minor" != "$CHOSEN" ]; then
    say "note: made for TensorRT $CHOSEN, this is $version: its own flags are used, the build decides"
fi
has() { grep -Eq -- "^ *$1([= ]|\$)" "$work/help"; }

gpu_id=$device
if [ -n "${CUDA_VISIBLE_DEVICES:-}" ]; then # nvidia-smi does not read it
    IFS=, read -r -a visible <<<"$CUDA_VISIBLE_DEVICES"
    gpu_id=${visible[$device]:-$device}
fi
command -v nvidia-smi >/dev/null || fail 4 "no nvidia-smi on PATH, so no GPU in reach: start the container with --gpus"
gpu=$(nvidia-smi --query-gpu=name,driver_version,compute_cap --format=csv,noheader --id="$gpu_id" 2>&1) ||
    fail 4 "no GPU: nvidia-smi says: $(printf '%s\n' "$gpu" | head -n 1)"
gpu_name=${gpu%%,*}

# 2. The flags of this trtexec.
flags=()
[ -z "$MIN_SHAPES" ] || flags+=("--minShapes=$MIN_SHAPES" "--optShapes=$OPT_SHAPES" "--maxShapes=$MAX_SHAPES")
if [ "$tf32" = 0 ]; then flags+=(--noTF32); fi
if [ "$PRECISION" != fp32 ] && [ "$major" -lt 11 ]; then # from 11 on the types in the graph are all there is
    if has --stronglyTyped; then
        flags+=(--stronglyTyped)
    elif has "--$PRECISION"; then
        flags+=("--$PRECISION")
    else
        fail 7 "TensorRT $version has no --$PRECISION"
    fi
fi
common=("--device=$device")
for flag in --onnx --saveEngine --skipInference --timingCacheFile --loadEngine --loadInputs --exportOutput --shapes; do
    has "$flag" || fail 7 "trtexec of TensorRT $version does not know $flag: portinf's kit knows versions from 8.6 on"
done
for flag in "${flags[@]}"; do
    has "${flag%%=*}" || fail 7 "trtexec of TensorRT $version does not know ${flag%%=*}"
done
replay=()
if has --includeDataTransfers; then replay+=(--includeDataTransfers); fi # from 11 on inputs stay where they are by default

# 3. Nothing to do?
key=$({ cat files.sha256; printf '%s\n' "${flags[@]}" "$version" "$gpu_name" "${gpu##*,}"; } | sha256sum | cut -d ' ' -f 1)
if [ "$rebuild" = 0 ] && python3 replay.py current --place "$place" --key "$key"; then
    say "up to date: $place/model.plan (TensorRT $version, $gpu_name)"
    exit 0
fi

# 4. Build beside, check there, and move into place only what is right.
python3 replay.py not-built --place "$place"
: >"$log"
slug=$(printf '%s' "$version-$gpu_name" | tr -c 'A-Za-z0-9.-' '_')
say "building with TensorRT $version on $gpu_name; the log is $PWD/$log"
code=0
run "$trtexec" --onnx=model.onnx "--saveEngine=$work/model.plan" --skipInference "--timingCacheFile=timing-$slug.cache" \
    "${common[@]}" "${flags[@]}" || code=$?
if grep -Eq 'no CUDA-capable device|Cannot find any available devices|driver version is insufficient|CUDA initialization failure' "$log"; then
    fail 4 "trtexec finds no GPU; see $PWD/$log"
fi
if [ "$code" != 0 ] || [ ! -s "$work/model.plan" ]; then
    reason=$(grep -F '[E]' "$log" | head -n 1 || true)
    fail 6 "the build failed (trtexec exited with $code): ${reason:-no [E] line}; see $PWD/$log"
fi
code=0
python3 replay.py check --trtexec "$trtexec" --plan "$work/model.plan" --major "$major" --work "$work" --log "$log" \
    --report "$work/report.json" -- "${common[@]}" ${replay[@]+"${replay[@]}"} 9>&- &
child=$!
wait "$child" || code=$?
child=
case $code in
0) ;;
5) fail 5 "the engine was deleted; see the lines above and $PWD/$log" ;;
*) fail 6 "the engine could not be run (replay.py exited with $code); see $PWD/$log" ;;
esac
python3 replay.py publish --work "$work" --place "$place" --key "$key" --tensorrt "$version" --trtexec "$trtexec" \
    --gpu "$gpu" --log "$log" --precision "$PRECISION" -- "${flags[@]}"
say "built: $PWD/$place/model.plan"
