#!/usr/bin/env bash
# What the engine does on a GPU: checks, times and one published training. Ends by itself.
#
#     bash tests/benchmarks/on_gpu.sh quick            # under 5 minutes
#     bash tests/benchmarks/on_gpu.sh mnist 9 FOLDER   # under 7 minutes; FOLDER has the four IDX files of MNIST
#
# Needs 'pip install ".[test]"' with a torch that sees the GPU. Has not run on a GPU yet.
set -uo pipefail
cd "$(dirname "$0")/../.."
python=${PYTHON:-python3}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0

part() { # part SECONDS TITLE COMMAND...
    local limit=$1 title=$2
    shift 2
    echo "== $title"
    local start=$SECONDS
    timeout "$limit" "$@" || { echo "FAILED ($?): $title"; failed=1; }
    echo "   $((SECONDS - start)) s"
}

if ! "$python" -c 'import torch; assert torch.cuda.is_available(); print(torch.__version__, torch.cuda.get_device_name())'; then
    echo "torch sees no GPU here" >&2
    exit 1
fi

case "${1:-}" in
quick)
    part 90 "tests of the device" "$python" -m pytest --numprocesses=0 -q -m gpu
    part 40 "training steps" "$python" tests/benchmarks/engine_speed.py --device cuda --steps 3
    part 60 "training steps, compiled" "$python" tests/benchmarks/engine_speed.py --device cuda --steps 3 --compile
    part 60 "training of nae" "$python" -m jetad train --method nae --background data_samples/qcd_train.h5 --device cuda \
        --seed 1 --monitor top=data_samples/top.h5 --output "$work/nae"
    part 30 "scores of nae" "$python" -m jetad score data_samples/qcd_test.h5 --run "$work/nae" \
        --device cuda -o "$work/qcd.h5"
    part 20 "rates of scoring" "$python" tests/benchmarks/scoring_throughput.py "$work/nae" data_samples/qcd_test.h5
    "$python" -c 'import torch; free, total = torch.cuda.mem_get_info(); print(f"memory: {(total - free) / 2**30:.1f} of {total / 2**30:.1f} GiB in use")'
    ;;
mnist)
    part 400 "nae-mnist, digit ${2:?digit} held out" "$python" tests/benchmarks/image_sets.py --device cuda \
        --train "mnist=idx:${3:?folder of MNIST}" --first 50000 --hold-out "$2" --results "$work/rows.jsonl" --published \
        --detector "nae-omi=preset:nae-mnist training.compile=true"
    ;;
*)
    echo "usage: on_gpu.sh quick | mnist DIGIT FOLDER" >&2
    exit 2
    ;;
esac
exit "$failed"
