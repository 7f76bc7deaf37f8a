-- correlation/most_alike: the pairs of strategies that move together most, or against each other
-- table strategies : strategy table to look at
-- param limit = 20 : pairs to show
-- param min_abs = 0 : least size of a correlation, 0..1
-- param method = pearson : pearson, or spearman for ranks
-- result strategy_a : one strategy
-- result strategy_b : the other, later by name
-- result correlation : of their P&L over the periods that both have, -1..1
-- result common_periods : how many those are
SELECT
  strategy_a,
  strategy_b,
  correlation,
  n AS common_periods
FROM correlation_pairs(strategies, min_abs => $min_abs, top => $limit, method => $method)
ORDER BY abs(correlation) DESC, strategy_a, strategy_b;
