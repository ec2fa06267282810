#!/bin/sh
# Make every sample of this folder again: sh make_samples.sh [FOLDER]
# Needs pip install 'jetad[simulate]'; about half an hour on two cores. The jets depend on the seeds and
# on the versions of Pythia, FastJet and NumPy (kept in the files), not on JOBS.
set -e
cd "${1:-.}"
JOBS=${JOBS:-2}

jetad simulate qcd -n 12000 --seed 11 --jobs "$JOBS" -o qcd_train.h5
jetad simulate qcd -n 3000 --seed 12 --jobs "$JOBS" -o qcd_test.h5
for process in top heidelberg svj aachen; do
    jetad simulate "$process" -n "$([ "$process" = top ] && echo 3000 || echo 2500)" --seed 13 \
        --jobs "$JOBS" --match-pt qcd_train.h5 -o "$process.h5"
done

jetad simulate qcd -n 1000 --seed 21 --jobs "$JOBS" -o qcd_test.root
for process in top heidelberg; do
    jetad simulate "$process" -n 1000 --seed 22 --jobs "$JOBS" --match-pt qcd_train.h5 -o "$process.root"
done
