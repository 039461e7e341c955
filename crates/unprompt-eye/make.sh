#!/bin/sh
# Makes all that this crate carries:
#
#     crates/unprompt-eye/make.sh PAIRS TRAIN PROMPTS
#
# PAIRS is a folder with the folders of generated pictures cheatsheet, horde_styles,
# stylebook_chroma, artists_sd35l and abominable, each with its pairs.csv, and with drawbench_glance and
# ai_bingo, which measure the result: prompts near to theirs are left out of the list. TRAIN is one with
# the shards openstax-*.tar and openclipart-*.tar; PROMPTS one with prompts.csv (the
# PartiPrompts) and licensed.csv. assets/NOTICE.md says what is in them and where it comes from.
#
# The numbers of the preset are chosen by
#
#     target/release/unprompt-make-eye choose PAIRS/drawbench_glance PAIRS/ai_bingo
set -eu
pairs=$1 train=$2 prompts=$3
here=$(dirname "$0")
out=$here/assets
# The program carries these files, so that they have to be there before it can be built.
mkdir -p "$out/head"
: >> "$out/SHA256SUMS"
for file in prompts labels tower; do [ -e "$out/$file.safetensors" ] || : > "$out/$file.safetensors"; done
[ -e "$out/head/head.safetensors" ] || : > "$out/head/head.safetensors"
[ -e "$out/head/config.json" ] || : > "$out/head/config.json"
cargo build --release --workspace
rm -f "$out/head/config.json"
target/release/unprompt train head --out "$out/head" \
    --data "$train/openstax-*.tar,name=openstax,weight=3,strip-leads,first-sentence,words=77" \
    --data "$train/openclipart-*.tar,name=openclipart,words=77" \
    --data "$pairs/cheatsheet,weight=.3,words=77" \
    --data "$pairs/horde_styles,words=77" \
    --data "$pairs/stylebook_chroma,words=77" \
    --data "$pairs/artists_sd35l,weight=.3,words=77" \
    --data "$pairs/abominable,words=77"
target/release/unprompt models pull all-MiniLM-L6-v2 efficientnet-lite0
folder() { target/release/unprompt models path "$1"; }
target/release/unprompt-make-eye "$out" "$(folder all-MiniLM-L6-v2)" "$(folder efficientnet-lite0)" \
    without="$pairs/drawbench_glance/pairs.csv" without="$pairs/ai_bingo/pairs.csv" \
    parti="$prompts/prompts.csv" licensed="$prompts/licensed.csv"
(cd "$out" && sha256sum tower.safetensors head/head.safetensors prompts.safetensors labels.safetensors > SHA256SUMS)
