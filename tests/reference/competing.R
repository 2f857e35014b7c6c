suppressMessages({library(survival); library(cmprsk)})
d <- read.csv("competing.csv"); out <- list()
add <- function(data, what, group, cause, at, value) out[[length(out)+1]] <<- data.frame(data=data, what=what, group=group, cause=cause, at=at, value=value)
for (name in unique(d$data)) {
  whole <- d[d$data == name, ]
  for (g in c("all", sort(unique(whole$group)))) {
    p <- if (g == "all") whole else whole[whole$group == g, ]
    for (k in 1:2) if (any(p$cause == k)) {
      f <- survfit(Surv(p$time, factor(p$cause, 0:2)) ~ 1, conf.type = "log-log")
      s <- match(as.character(k), f$states)
      add(name, "survfit", g, k, f$time, f$pstate[, s])
      add(name, "survfit_se", g, k, f$time, f$std.err[, s])
      add(name, "survfit_n_risk", g, k, f$time, f$n.risk[, 1])
      add(name, "survfit_loglog_lower", g, k, f$time, f$lower[, s])
      add(name, "survfit_loglog_upper", g, k, f$time, f$upper[, s])
      u <- sort(unique(p$time)); w <- cuminc(p$time, p$cause)
      e <- timepoints(w, u); r <- which(rownames(e$est) == paste("1", k))
      add(name, "cuminc", g, k, u, e$est[r, ])
    }
  }
  w <- cuminc(whole$time, whole$cause, whole$group)$Tests
  for (k in rownames(w)) { add(name, "gray", "all", k, w[k, "df"], w[k, "stat"]); add(name, "gray_p", "all", k, w[k, "df"], w[k, "pv"]) }
}
# late entry
e <- read.csv("competing.csv"); e <- e[e$data == "tied", ]; e$enter <- pmax(0, floor(e$time / 3) - seq_len(nrow(e)) %% 2)
f <- survfit(Surv(e$enter, e$time, factor(e$cause, 0:2)) ~ 1, id = seq_len(nrow(e)), conf.type = "log-log")
add("late", "survfit", "all", 1, f$time, f$pstate[, 2]); add("late", "survfit_se", "all", 1, f$time, f$std.err[, 2])
o <- do.call(rbind, out); o$value <- signif(o$value, 12); write.csv(o, "competing_ref.csv", row.names = FALSE, quote = FALSE)
