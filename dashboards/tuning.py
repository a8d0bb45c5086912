from dashboards.scaling import write_study_report  # noqa
