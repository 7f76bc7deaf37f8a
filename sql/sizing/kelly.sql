-- sizing/kelly: how much of the capital each strategy deserves by the Kelly criterion
-- table strategies : strategy table to look at
-- param cap = 0.25 : largest share of the capital that one strategy may get, > 0
-- param min_periods = 30 : least rows that won or lost for a strategy to be shown
-- param limit = 20 : strategies to show
-- result strategy : name
-- result decided_periods : rows that won or lost
-- result win_rate : share of winning rows among them, 0..1
-- result payoff_ratio : mean win by the size of the mean loss
-- result expectancy : mean of a row that won or lost, in the unit of the table
-- result kelly_fraction : share of the capital that grows fastest in the long run; negative says do not trade
-- result half_kelly : half of it, never below 0
-- result capped_fraction : between 0 and the cap
SELECT
  strategy,
  count(pnl) FILTER (WHERE pnl <> 0) AS decided_periods,
  win_rate(pnl) AS win_rate,
  payoff_ratio(pnl) AS payoff_ratio,
  expectancy(pnl) AS expectancy,
  kelly_fraction(pnl) AS kelly_fraction,
  greatest(kelly_fraction(pnl) / 2, 0) AS half_kelly,
  kelly_fraction(pnl, $cap) AS capped_fraction
FROM strategies
GROUP BY strategy
HAVING count(pnl) FILTER (WHERE pnl <> 0) >= $min_periods
ORDER BY kelly_fraction DESC NULLS LAST, strategy
LIMIT $limit;
