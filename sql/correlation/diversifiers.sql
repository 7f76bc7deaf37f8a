-- correlation/diversifiers: the strategies that have least in common with all others
-- table strategies : strategy table to look at
-- param limit = 20 : strategies to show
-- result strategy : name
-- result pairs : other strategies with which it has a correlation
-- result average_correlation : mean of those correlations, -1..1
SELECT
  strategy,
  pairs,
  average_correlation
FROM correlation_summary(strategies)
WHERE pairs > 0
ORDER BY average_correlation, strategy
LIMIT $limit;
