#!/usr/bin/env bash
# Reproduces this folder from npm, byte for byte: `make vendor`. Users never need Node.
set -euo pipefail
cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# name, version, integrity as published
while read -r package version integrity; do
    tarball=$(cd "$work" && npm pack --silent "$package@$version")
    actual="sha512-$(openssl dgst -sha512 -binary "$work/$tarball" | base64 -w0)"
    if [ "$actual" != "$integrity" ]; then
        echo "$package@$version: integrity is $actual, expected $integrity" >&2
        exit 1
    fi
    mkdir -p "$work/$package"
    tar -xzf "$work/$tarball" -C "$work/$package" --strip-components=1
    echo "$package $version"
done <VERSIONS

rm -rf fonts licences
mkdir -p fonts licences
cp "$work/cytoscape/dist/cytoscape.min.js" cytoscape.min.js
cp "$work/elkjs/lib/elk-api.js" "$work/elkjs/lib/elk-worker.min.js" .
cp "$work/@fontsource-variable/inter/files/inter-latin-wght-normal.woff2" fonts/
cp "$work/@fontsource-variable/jetbrains-mono/files/jetbrains-mono-latin-wght-normal.woff2" fonts/
# What pictures are lettered in: their painter reads no woff2.
cp "$work/dejavu-fonts-ttf/ttf/DejaVuSansCondensed.ttf" fonts/dejavu-sans-condensed.ttf
# One style sheet instead of fifty requests; the graph reads the same properties for its canvas.
{
    echo "/* Lucide icons (ISC) as masks: made by reproduce.sh from icons.txt. */"
    while read -r icon; do
        svg=$(sed -e '/<!--/d' "$work/lucide-static/icons/$icon.svg" | tr -s '\n ' '  ' |
            sed -e 's/ class="[^"]*"//' -e 's/> </></g' -e 's/ $//' -e "s/\"/'/g" -e 's/</%3C/g' -e 's/>/%3E/g' -e 's/#/%23/g')
        echo ":root{--icon-$icon:url(\"data:image/svg+xml,$svg\")}"
        echo ".ic-$icon{--icon:var(--icon-$icon)}"
    done <icons.txt
} >icons.css
cp "$work/cytoscape/LICENSE" licences/cytoscape
cp "$work/elkjs/LICENSE.md" licences/elkjs
cp "$work/lucide-static/LICENSE" licences/lucide
cp "$work/@fontsource-variable/inter/LICENSE" licences/inter
cp "$work/@fontsource-variable/jetbrains-mono/LICENSE" licences/jetbrains-mono
cp "$work/dejavu-fonts-ttf/LICENSE" licences/dejavu
