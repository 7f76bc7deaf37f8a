-- Tables as they stood on the old server, in its own words.
CREATE TABLE zone_strategies (
  strategy_id INTEGER, zone_name TEXT ENCODING DICT(32), trading_date DATE ENCODING DAYS(32), daily_returns DOUBLE, zone_weight DECIMAL(6,2))
  WITH (fragment_size=75000000);
INSERT INTO zone_strategies VALUES (17, 'Zone A', '2024-01-04', 505.05, 0.25), (17, 'Zone A', '2024-01-05', -120.5, 0.25),
  (17, 'Zone A', '01/08/2024', 81.25, 0.25), (23, 'Zone B', '2024-01-04', 12.125, 0.75), (23, 'Zone B', '2024-01-05', NULL, 0.75),
  (23, '', '2024-01-08', 40.0, 0.75);
