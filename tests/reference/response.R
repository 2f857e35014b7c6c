# Rates with exact limits, and the exact trend, of numbers of responses; writes response.csv.
library(coin)
tables <- list(
  list(events = c(1, 2, 1, 2), sizes = c(3, 5, 6, 4), scores = 1:4),
  list(events = c(0, 1, 3, 3), sizes = c(3, 5, 6, 4), scores = 1:4),
  list(events = c(0, 0, 4, 4), sizes = c(3, 5, 6, 4), scores = c(0.5, 1, 1, 1.25)),
  list(events = c(2, 1, 2), sizes = c(20, 20, 20), scores = 1:3),
  list(events = c(1, 4, 9), sizes = c(20, 20, 20), scores = 1:3),
  list(events = c(0, 1, 0, 2, 3, 3, 4), sizes = c(1, 3, 3, 6, 6, 4, 5), scores = 1:7),
  list(events = c(3, 0), sizes = c(3, 6), scores = 1:2)
)
rows <- do.call(rbind, lapply(tables, function(each) {
  score <- 4 * rep(each$scores, each$sizes)
  responded <- unlist(Map(function(x, n) rep(c(1, 0), c(x, n - x)), each$events, each$sizes))
  # The shift algorithm wants whole scores; four times the scores have the same P.
  test <- independence_test(score ~ factor(responded), distribution = exact("shift"))
  limits <- sapply(c(0.95, 0.8), function(level)
    sapply(c(seq_along(each$events), 0), function(i) {
      x <- if (i) each$events[i] else sum(each$events)
      n <- if (i) each$sizes[i] else sum(each$sizes)
      paste(format(binom.test(x, n, conf.level = level)$conf.int, digits = 15), collapse = " ")
    }))
  data.frame(
    events = paste(each$events, collapse = " "), sizes = paste(each$sizes, collapse = " "),
    scores = paste(each$scores, collapse = " "), p_trend = format(c(pvalue(test)), digits = 15),
    limits_95 = paste(limits[, 1], collapse = "; "), limits_80 = paste(limits[, 2], collapse = "; ")
  )
}))
write.csv(rows, "response.csv", row.names = FALSE, quote = FALSE)
