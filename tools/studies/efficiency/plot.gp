# efficiency.svg from results.tsv. Colours after Okabe and Ito, which the colour-blind tell apart.
set datafile separator "\t"
network(i) = i == 1 ? "10 GbE" : (i == 2 ? "100 GbE" : "200 Gb/s InfiniBand")
kind(s) = s == 1 ? "standard" : (s == 2 ? "full" : (s == 3 ? "block_full 8" : "block_full 32"))
name(s) = s == 1 ? "standard" : (s == 2 ? "full" : (s == 3 ? "block\\_full, 8 blocks" : "block\\_full, 32 blocks"))
pick(i, kind, schedule) = (strcol(1) eq network(i) && strcol(2) eq kind && strcol(3) eq schedule && \
    $5 == ($4 < 32 ? $4 : 32)) ? 100 * $8 : NaN
set logscale x 2
set xrange [6.5:5000]
set yrange [0:100]
set xtics ("8" 8, "64" 64, "512" 512, "4096" 4096)
set xtics add ("" 16 1, "" 32 1, "" 128 1, "" 256 1, "" 1024 1, "" 2048 1)
set grid ytics back lt 1 lw 1 lc rgb "#CCCCCC"
set style data linespoints
set style line 1 lc rgb "#000000" lw 2 pt 7 ps 0.7
set style line 2 lc rgb "#D55E00" lw 2 pt 5 ps 0.7
set style line 3 lc rgb "#0072B2" lw 2 pt 9 ps 0.8
set style line 4 lc rgb "#009E73" lw 2 pt 11 ps 0.8

set terminal svg size 1250,560 font "sans-serif,13" background "white"
set output "efficiency.svg"
set multiplot
do for [i = 1:3] {
    set lmargin at screen 0.06 + 0.315 * (i - 1)
    set rmargin at screen 0.055 + 0.315 * (i - 1) + 0.285
    set tmargin at screen 0.92
    set bmargin at screen 0.30
    set title network(i)
    set xlabel "ranks (nodes)"
    if (i == 1) { set ylabel "efficiency, % of the step that ranks compute" } else { unset ylabel }
    if (i == 2) { set key at screen 0.5, screen 0.10 center maxrows 4 samplen 4 width 2 } else { unset key }
    plot for [s = 1:4] "results.tsv" skip 1 using 4:(pick(i, kind(s), "1f1b")) ls s \
             title name(s).", 1f1b", \
         for [s = 1:4] "results.tsv" skip 1 using 4:(pick(i, kind(s), s == 1 ? "interleaved" : "interleaved, cached")) \
             ls s dt 2 title name(s).(s == 1 ? ", interleaved" : ", interleaved, cached")
}
unset multiplot
