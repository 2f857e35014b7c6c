# Writes the bundled trial's tables as SAS data sets: Rscript tests/reference/sas.R, from the project's folder.
library(haven)

for (table in c("adsl", "adtte", "adex", "adae")) {
  frame <- read.csv(file.path("data/nkhcc", paste0(table, ".csv")), na.strings = "", stringsAsFactors = FALSE)
  for (name in names(frame)) {
    cells <- frame[[name]]
    if (is.logical(cells)) cells <- as.character(cells)
    if (is.character(cells) && all(is.na(cells) | grepl("^[0-9]{4}-[0-9]{2}-[0-9]{2}$", cells)) && !all(is.na(cells))) {
      cells <- as.Date(cells)
    } else if (is.character(cells)) {
      cells[is.na(cells)] <- ""
    }
    attr(cells, "label") <- paste("Label of", name)
    frame[[name]] <- cells
  }
  write_sas(frame, file.path("tests/reference/sas", paste0(table, ".sas7bdat")))
}
