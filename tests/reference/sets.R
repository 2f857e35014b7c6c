# Makes sets.csv and sets_ref.csv: small random samples with near-equal times, times of 0, curves that end at one
# half, late entry and strata. Rscript sets.R, with R 4.2.2, survival 3.5-3 and coin 1.4-2.
library(survival)
suppressMessages(library(coin))
set.seed(20)
refs <- list()
keep <- function(set, what, group, at, value)
  refs[[length(refs) + 1]] <<- data.frame(set, what, group, at, value = unname(value))
draw <- function(set, n, k, entry = FALSE, strata = 1, near = FALSE, zero = FALSE) {
  group <- sort(rep(LETTERS[1:k], length.out = n))
  time <- round(rexp(n, 0.1) + 0.5, 1)
  if (near) time <- pmax(round(time), 1) * (1 + sample(-2:2, n, TRUE) * 2e-9)
  if (zero) time[sample(n, 4)] <- 0
  enter <- if (entry) round(pmax(runif(n, -0.6, 0.8), 0) * time, 1) else rep(0, n)
  data.frame(set, enter, time, event = as.integer(runif(n) < 0.7), group, stratum = sample(strata, n, TRUE))
}
curves <- function(d, group, entry) {
  s <- if (entry) Surv(d$enter, d$time, d$event) else Surv(d$time, d$event)
  r <- if (entry) Surv(d$enter, d$time, 1 - d$event) else Surv(d$time, 1 - d$event)
  for (type in c("log-log", "log", "plain")) {
    f <- survfit(s ~ 1, conf.type = type)
    # Under late entry limits may rise again, and quantile then sorts them; what is printed takes them in time.
    q <- if (entry) summary(f)$table[c("0.95LCL", "0.95UCL")] else unlist(quantile(f, 0.5)[c("lower", "upper")])
    keep(d$set[1], "median", group, type, quantile(f, 0.5)$quantile)
    keep(d$set[1], "median_lower", group, type, q[[1]])
    keep(d$set[1], "median_upper", group, type, q[[2]])
    at <- quantile(f$time, c(0.2, 0.5, 0.8), type = 1)
    z <- summary(f, times = at)
    for (i in seq_along(at)) for (what in c("surv", "lower", "upper", "n.risk"))
      if (type == "log-log" || !what %in% c("surv", "n.risk"))
        keep(d$set[1], paste(what, type), group, format(at[[i]], digits = 17), z[[what]][i])
  }
  keep(d$set[1], "median_printed", group, "", summary(f)$table[["median"]])
  keep(d$set[1], "follow_up", group, "", quantile(survfit(r ~ 1), 0.5)$quantile)
  tau <- as.numeric(quantile(d$time, 0.7, type = 1))
  z <- summary(f, rmean = tau)$table
  keep(d$set[1], "rmst", group, format(tau, digits = 17), z[["rmean"]])
  keep(d$set[1], "rmst_se", group, format(tau, digits = 17), z[["se(rmean)"]])
}
score <- function(d) {
  # Event less the hazard between entry and time, the risk sets of the patient's stratum.
  late <- d$enter > 0
  sapply(seq_len(nrow(d)), function(i) {
    own <- d[d$stratum == d$stratum[i], ]
    at <- unique(own$time[own$event == 1])
    at <- at[at <= d$time[i] & (at > d$enter[i] | d$enter[i] == 0)]
    d$event[i] - sum(vapply(at, function(t) sum(own$event == 1 & own$time == t) /
      sum(own$time >= t & (own$enter < t | own$enter == 0)), 0))
  })
}
tests <- function(d, entry) {
  d$g <- factor(d$group); d$b <- factor(d$stratum); d$x <- as.integer(d$g)
  s <- if (entry) Surv(d$enter, d$time, d$event) else Surv(d$time, d$event)
  set <- d$set[1]
  # With the exact likelihood of ties the score test is the log-rank test.
  keep(set, "chisq", "", "", coxph(s ~ g + strata(b), d, ties = "exact", iter = 0)$score)
  keep(set, "trend", "", "", coxph(s ~ x + strata(b), d, ties = "exact", iter = 0)$score)
  if (!entry) for (rho in 0:1) keep(set, "survdiff", "", rho, survdiff(s ~ g + strata(b), d, rho = rho)$chisq)
  d$a <- score(transform(d, time = as.numeric(aeqSurv(Surv(d$time, d$event))[, 1])))
  f <- if (nlevels(d$b) > 1) a ~ g | b else a ~ g
  keep(set, "coin_quadratic", "", "", statistic(independence_test(f, d, teststat = "quadratic")))
  t <- independence_test(f, d, scores = list(g = 1:nlevels(d$g)), teststat = "scalar")
  keep(set, "coin_trend", "", "", statistic(t)^2)
  if (nlevels(d$b) == 1 && nlevels(d$g) == 2)
    keep(set, "coin_exact", "", "", pvalue(independence_test(f, d, distribution = "exact")))
  approx <- independence_test(f, d, teststat = "quadratic", distribution = approximate(nresample = 1e6))
  keep(set, "coin_approximate", "", "", pvalue(approx))
}
data <- NULL
add <- function(d, entry = FALSE) {
  data <<- rbind(data, d)
  for (g in c("all", unique(d$group))) curves(if (g == "all") d else d[d$group == g, ], g, entry)
  tests(d, entry)
}
add(draw("near", 18, 3, near = TRUE))
add(draw("near two", 12, 2, near = TRUE))
add(draw("zero", 18, 3, zero = TRUE))
add(draw("late", 20, 3, entry = TRUE), TRUE)
add(draw("late two", 14, 2, entry = TRUE), TRUE)
add(draw("strata", 24, 3, strata = 3))
add(draw("strata two", 16, 2, strata = 2))
add(draw("late strata", 24, 3, entry = TRUE, strata = 2), TRUE)
# Groups of two to four, many of whose curves are flat at one half to the end.
flat <- draw("flat", 30, 10)
flat$event <- rep(c(1, 1, 0), 10)[order(flat$group, flat$time)]
flat <- rbind(data.frame(set = "flat", enter = 0, time = c(6.94, 13.34), event = c(1, 0), group = "K", stratum = 1),
  data.frame(set = "flat", enter = 0, time = c(1, 2, 4, 7), event = c(1, 1, 0, 0), group = "L", stratum = 1), flat)
data <- rbind(data, flat)
for (g in unique(flat$group)) curves(flat[flat$group == g, ], g, FALSE)
data$time <- format(data$time, digits = 17, trim = TRUE)
write.csv(data, "sets.csv", row.names = FALSE, quote = FALSE)
refs <- do.call(rbind, refs)
refs$value <- format(refs$value, digits = 12, trim = TRUE)
write.csv(refs, "sets_ref.csv", row.names = FALSE, quote = FALSE)
