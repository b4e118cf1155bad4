#!/usr/bin/env bash
# An avatar of every photo in a folder: examples/batch.sh FOLDER OUT [JOBS] [options of facecraft-quick]
#
# OUT/NAME.ws is the workspace of FOLDER/NAME.jpg and OUT/NAME.log what was said. A photo that fails does not stop the
# others; the exit code is then 1 and the failed ones are listed last. Started again, it skips what is done.
set -euo pipefail

if [[ $# -lt 2 || ! -d $1 ]]; then
    echo "usage: batch.sh FOLDER OUT [JOBS] [--quality draft|standard|high]" >&2
    exit 2
fi
folder=$1 out=$2 jobs=${3:-1}
shift $(($# < 3 ? $# : 3))
here=$(cd "$(dirname "$0")" && pwd)
export PATH=$here/../.venv/bin:$here/../bin:$PATH
mkdir -p "$out"
rm -f "$out"/*.failed

make_avatar() {
    local photo=$1 out=$2 name
    name=$(basename "${photo%.*}")
    shift 2
    if facecraft-quick "$photo" "$out/$name.ws" "$@" > "$out/$name.log" 2>&1; then
        echo "$out/$name.ws"
    else
        echo "$photo: $(grep -m 1 '^error' "$out/$name.log" || tail -n 1 "$out/$name.log")" | tee "$out/$name.failed" >&2
    fi
}
export -f make_avatar

list_photos() {
    find "$folder" -maxdepth 1 -type f \( -iname '*.jpg' -o -iname '*.jpeg' -o -iname '*.png' -o -iname '*.webp' -o -iname '*.heic' -o -iname '*.heif' -o -iname '*.avif' -o -iname '*.tif' -o -iname '*.tiff' \) -print0 | sort -z
}

twice=$(list_photos | tr '\0' '\n' | sed 's#.*/##; s#\.[^.]*$##' | sort | uniq -d)
if [[ -n $twice ]]; then
    echo "error: several photos are called $twice; their workspaces would be the same" >&2
    exit 2
fi
set -m # the work has a process group of its own: stopped, it stops with all it started
list_photos | xargs -0 -P "$jobs" -I PHOTO bash -c 'make_avatar "$@"' batch PHOTO "$out" "$@" &
trap 'kill -- "-$(jobs -p %%)"; exit 130' INT TERM HUP
wait %%

if compgen -G "$out/*.failed" > /dev/null; then
    echo "failed:" >&2
    cat "$out"/*.failed >&2
    exit 1
fi
