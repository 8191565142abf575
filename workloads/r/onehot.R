# One column of a CSV file as indicator columns, the way the note does it, for onehot.py to compare.
#
#   Rscript --vanilla onehot.R DATA.csv COLUMN NEW.csv OUT
#
# Leaves in OUT: for each matrix NAME (indicator, intercept) NAME.cells, one byte a cell, column after column, and NAME.names;
# rows, the numbers of the rows that are in them, 32 bits each; made, what data.frame() makes of indicator's names;
# facts and cases, two and four fields a line. Texts are written as the hexadecimal digits of their UTF-8 bytes, since
# names may hold anything.
arguments <- commandArgs(trailingOnly = TRUE)
column <- arguments[[2]]
out <- arguments[[4]]
missing <- c("", "NA")

hex <- function(text) vapply(enc2utf8(text), function(each) paste(charToRaw(each), collapse = ""), "", USE.NAMES = FALSE)
write <- function(name, lines) writeLines(lines, file.path(out, name))
# Every column as text: else a column of TRUE and FALSE, or of 01 and 02, would change its values on the way.
table_of <- function(path) {
  utils::read.csv(path, colClasses = "character", check.names = FALSE, na.strings = missing, strip.white = FALSE,
                  comment.char = "", fileEncoding = "UTF-8-BOM")
}
save_matrix <- function(cells, name) {
  file <- file(file.path(out, paste0(name, ".cells")), "wb")
  for (j in seq_len(ncol(cells))) {
    values <- cells[, j]
    stopifnot(all(values == 0 | values == 1))
    writeBin(as.raw(values), file)
  }
  close(file)
  write(paste0(name, ".names"), hex(colnames(cells)))
}

data <- table_of(arguments[[1]])
texts <- data[[column]]
# radix sorts by the bytes; factor()'s own order of levels is that of the locale, and so another one elsewhere.
levels <- sort(unique(texts), method = "radix")
data[[column]] <- factor(texts, levels = levels)
quoted <- paste0("`", gsub("`", "\\\\`", gsub("\\", "\\\\", column, fixed = TRUE)), "`")
without <- stats::as.formula(paste("~ 0 +", quoted)) # with user_state: ~ 0 + user_state
with <- stats::as.formula(paste("~", quoted))

seconds <- Inf
for (attempt in 1:3) {
  cells <- NULL
  seconds <- min(seconds, system.time(cells <- stats::model.matrix(without, data))[["elapsed"]])
}
save_matrix(cells, "indicator")
writeBin(as.integer(rownames(cells)), file.path(out, "rows"), endian = "little")
write("made", hex(make.names(colnames(cells))))
name <- colnames(cells)[[1]]
prefix <- substr(name, 1, nchar(name) - nchar(levels[[1]]))
cells <- NULL
save_matrix(stats::model.matrix(with, data), "intercept")

# What becomes of a level that was not there before, and of a missing one.
new <- table_of(arguments[[3]])
fresh <- new
fresh[[column]] <- factor(fresh[[column]])
known <- new
known[[column]] <- factor(known[[column]], levels = levels)
marked <- known
marked[[column]] <- addNA(marked[[column]])
shape <- function(name, expression) {
  told <- tryCatch({
    made <- expression
    c(nrow(made), ncol(made), hex(paste(sum(is.na(made)))))
  }, error = function(problem) c("0", "0", hex(conditionMessage(problem))))
  paste(c(name, told), collapse = "\t")
}
strict <- list(levels)
names(strict) <- column
write("cases", c(
  shape("own levels", stats::model.matrix(without, fresh)),
  shape("old levels", stats::model.matrix(without, known)),
  shape("na.pass", stats::model.matrix(without, stats::model.frame(without, known, na.action = stats::na.pass))),
  shape("addNA", stats::model.matrix(without, marked)),
  shape("xlev", stats::model.frame(without, new, xlev = strict))
))
write("facts", paste(c("version", "seconds", "prefix"), c(hex(R.version.string), seconds, hex(prefix)), sep = "\t"))
