# Draw grey images of the digits 0-9 as PGM files: stretched, sheared, shifted, dimmed, with noise and clutter.
#
#   awk -v seed=N -v count=N -v folder=DIR -v list=FILE [-v shuffle=1] -f digits.awk
#
# Writes `folder/NNNNN.pgm` (28 x 28, 0 is black) and `list` with a file name and a label on each line. With `shuffle`
# the labels are drawn by lot, so that there is nothing to learn.

function glyph(digit, rows) { shape[digit] = rows }

function uniform(low, high) { return low + (high - low) * rand() }

# The ink, 0 or 1, of a digit at a place of its 5 x 7 cells; 0 outside.
function ink(digit, column, row) {
    if (column < 0 || column >= 5 || row < 0 || row >= 7) return 0
    return substr(shape[digit], int(row) * 5 + int(column) + 1, 1) + 0
}

function draw(digit, file,    across, down, shear, left, top, light, row, column, level, line, strike) {
    across = uniform(2.0, 3.6); down = uniform(2.0, 3.4); shear = uniform(-0.3, 0.3)
    left = 14 - 2.5 * across + uniform(-3, 3); top = 14 - 3.5 * down + uniform(-3, 3); light = uniform(0.45, 1)
    strike = int(uniform(0, 28))
    printf "P2\n28 28\n255\n" > file
    for (row = 0; row < 28; row++) {
        line = ""
        for (column = 0; column < 28; column++) {
            level = 255 * light * ink(digit, (column - left + shear * (row - 14)) / across, (row - top) / down)
            if (row == strike) level += 90
            level = int(level + uniform(-45, 45))
            line = line (level < 0 ? 0 : level > 255 ? 255 : level) " "
        }
        print line > file
    }
    close(file)
}

BEGIN {
    glyph(0, "01110100011001110101110011000101110"); glyph(1, "00100011000010000100001000010001110")
    glyph(2, "01110100010000100010001000100011111"); glyph(3, "11111000100010000010000011000101110")
    glyph(4, "00010001100101010010111110001000010"); glyph(5, "11111100001111000001000011000101110")
    glyph(6, "00110010001000011110100011000101110"); glyph(7, "11111000010001000100010000100001000")
    glyph(8, "01110100011000101110100011000101110"); glyph(9, "01110100011000101111000010001001100")
    srand(seed)
    for (number = 0; number < count; number++) {
        digit = int(uniform(0, 10))
        name = sprintf("%05d.pgm", number)
        draw(digit, folder "/" name)
        print name, (shuffle ? int(uniform(0, 10)) : digit) > list
    }
}
