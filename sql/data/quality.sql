-- data/quality: what is odd about the data of each strategy, the oddest first
-- table strategies : strategy table to look at
-- param zero_share = 0.9 : share of zeros from which a strategy counts as idle, 0..1
-- param limit = 50 : strategies to show
-- result strategy : name
-- result remark : the gravest of: no values, constant, idle, identical (another strategy has the same series), gaps, ok
-- result periods : rows, with a value or without
-- result nulls : rows without a value
-- result zeros : rows whose value is 0
-- result smallest : smallest value, in the unit of the table
-- result largest : largest value, in the unit of the table
-- result first_date : first day with a value
-- result last_date : last day with a value
-- result same_as : another strategy with the same value, or none, in every period; NULL where there is none
WITH facts AS (
  SELECT
    strategy,
    count(*) AS periods,
    count(*) - count(pnl) AS nulls,
    count(*) FILTER (WHERE pnl = 0) AS zeros,
    min(pnl) AS smallest,
    max(pnl) AS largest,
    min(date) FILTER (WHERE pnl IS NOT NULL) AS first_date,
    max(date) FILTER (WHERE pnl IS NOT NULL) AS last_date
  FROM strategies
  GROUP BY strategy
), alike AS (
  -- Only strategies that agree in all of this can have the same series.
  SELECT strategy, count(*) OVER (PARTITION BY periods, nulls, zeros, smallest, largest, first_date, last_date) AS strategies
  FROM facts
  WHERE nulls < periods
), slotted AS (
  -- Tables with one row per day have no slot: here it is NULL.
  SELECT * FROM strategies UNION ALL BY NAME SELECT CAST(NULL AS INT) AS slot WHERE false
), series AS (
  SELECT s.strategy, md5(string_agg(concat_ws(' ', s.date, s.slot, coalesce(CAST(s.pnl AS VARCHAR), 'none')), ',' ORDER BY s.date, s.slot)) AS digest
  FROM slotted s
  WHERE s.strategy IN (SELECT strategy FROM alike WHERE strategies > 1)
  GROUP BY s.strategy
), twins AS (
  SELECT
    strategy,
    coalesce(
      nullif(first_value(strategy) OVER (PARTITION BY digest ORDER BY strategy), strategy),
      lead(strategy) OVER (PARTITION BY digest ORDER BY strategy)
    ) AS same_as
  FROM series
), judged AS (
  SELECT
    facts.*,
    twins.same_as,
    CASE
      WHEN nulls = periods THEN 1
      WHEN smallest = largest THEN 2
      WHEN zeros >= $zero_share * (periods - nulls) THEN 3
      WHEN same_as IS NOT NULL THEN 4
      WHEN nulls > 0 THEN 5
      ELSE 6
    END AS grade
  FROM facts
  LEFT JOIN twins ON twins.strategy = facts.strategy
)
SELECT
  strategy,
  CASE grade
    WHEN 1 THEN 'no values' WHEN 2 THEN 'constant' WHEN 3 THEN 'idle' WHEN 4 THEN 'identical' WHEN 5 THEN 'gaps' ELSE 'ok'
  END AS remark,
  periods,
  nulls,
  zeros,
  smallest,
  largest,
  first_date,
  last_date,
  same_as
FROM judged
ORDER BY grade, nulls DESC, zeros DESC, strategy
LIMIT $limit;
