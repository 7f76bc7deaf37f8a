-- tour: ten questions that a strategy table answers, on sample data where the database has none
-- table strategies : strategy table to look at
-- param periods_per_year = 252 : rows of one strategy in a year, for annualising
-- param limit = 8 : strategies to show under each question
-- sample strategies

--! 1. What is in the table?
SELECT
  count(DISTINCT strategy) AS strategies,
  count(DISTINCT date) AS days,
  count(*) AS rows,
  count(*) - count(pnl) AS nulls,
  min(date) AS first_day,
  max(date) AS last_day,
  sum(pnl) AS total_pnl
FROM strategies;

--! 2. Which strategies earned the most?
SELECT strategy, roi(pnl) AS total_pnl, avg(pnl) AS mean_pnl, max(pnl) AS best_day
FROM strategies
GROUP BY strategy
ORDER BY total_pnl DESC NULLS LAST, strategy
LIMIT $limit;

--! 3. Which earned it most evenly? (Sharpe and Sortino ratio, annualised)
SELECT
  strategy,
  sharpe_ratio(pnl, 0, $periods_per_year) AS sharpe_ratio,
  sortino_ratio(pnl, 0, $periods_per_year) AS sortino_ratio,
  volatility(pnl, $periods_per_year) AS volatility
FROM strategies
GROUP BY strategy
ORDER BY sharpe_ratio DESC NULLS LAST, strategy
LIMIT $limit;

--! 4. Which fell the deepest from their peak? (no sort: a strategy table keeps its time order)
SELECT strategy, max_drawdown_pnl(pnl) AS max_drawdown, roi(pnl) AS total_pnl, calmar_ratio_pnl(pnl, $periods_per_year) AS calmar_ratio
FROM strategies
GROUP BY strategy
ORDER BY max_drawdown NULLS LAST, strategy
LIMIT $limit;

--! 5. How bad is a bad day? (worst 5 % of days)
SELECT strategy, value_at_risk(pnl) AS value_at_risk, expected_shortfall(pnl) AS expected_shortfall, min(pnl) AS worst_day
FROM strategies
GROUP BY strategy
ORDER BY expected_shortfall NULLS LAST, strategy
LIMIT $limit;

--! 6. How often do they win, and is a win worth more than a loss?
SELECT
  strategy,
  win_rate(pnl) AS win_rate,
  payoff_ratio(pnl) AS payoff_ratio,
  profit_factor(pnl) AS profit_factor,
  expectancy(pnl) AS expectancy
FROM strategies
GROUP BY strategy
ORDER BY profit_factor DESC NULLS LAST, strategy
LIMIT $limit;

--! 7. How much capital does each deserve? (Kelly, at most a quarter)
SELECT strategy, kelly_fraction(pnl) AS kelly, kelly_fraction(pnl, 0.25) AS capped
FROM strategies
GROUP BY strategy
ORDER BY kelly DESC NULLS LAST, strategy
LIMIT $limit;

--! 8. Does it hold from year to year?
SELECT
  year,
  count(*) AS strategies,
  count(*) FILTER (WHERE total > 0) AS winners,
  sum(total) AS total_pnl,
  max(total) AS best_strategy,
  min(total) AS worst_strategy,
  min(drawdown) AS deepest_drawdown
FROM (SELECT year, strategy, sum(pnl) AS total, max_drawdown_pnl(pnl) AS drawdown FROM strategies GROUP BY year, strategy) AS by_year
GROUP BY year
ORDER BY year;

--! 9. What would the book of all strategies have looked like?
SELECT
  count(*) AS days,
  roi(pnl) AS total_pnl,
  sharpe_ratio(pnl, 0, $periods_per_year) AS sharpe_ratio,
  max_drawdown_pnl(pnl ORDER BY date) AS max_drawdown,
  value_at_risk(pnl) AS value_at_risk,
  min(pnl) AS worst_day
FROM (SELECT date, sum(pnl) AS pnl FROM strategies GROUP BY date) AS book;

--! 10. Which strategies are worth a closer look? (good ratio, shallow drawdown, a loss that does not dominate)
SELECT strategy, sharpe, total_pnl, max_drawdown
FROM (
  SELECT
    strategy,
    sharpe_ratio(pnl, 0, $periods_per_year) AS sharpe,
    roi(pnl) AS total_pnl,
    max_drawdown_pnl(pnl) AS max_drawdown,
    min(pnl) AS worst_day
  FROM strategies
  GROUP BY strategy
) AS judged
WHERE sharpe > 0.5 AND -max_drawdown < total_pnl AND -worst_day < total_pnl / 4
ORDER BY sharpe DESC, strategy
LIMIT $limit;
